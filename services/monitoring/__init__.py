"""Monitoring: consumes predictions and labels; publishes outcomes, quality, drift and verdicts; owns the label join."""
