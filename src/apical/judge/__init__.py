"""Judging: figures with intervals over patients, calibration, unknowns, and the report."""
