"""Grafana: one dashboard, made by code."""
