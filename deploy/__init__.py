"""How Headrace is run: processes on one machine, brokers, images, dashboards."""
