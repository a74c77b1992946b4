"""What runs every service: tasks and their files, the control log, marks, relay, workers, and the ports to a log. No ML."""
