"""What runs every service: tasks and their files, the control log, marks, relay, workers, ports to a log. No ML."""
