"""Devices and distributed processes."""
