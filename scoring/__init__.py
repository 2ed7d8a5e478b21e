"""Statements in, score out: ingest, features, points models, reasons.

Integers only where peers check; imports nothing of ours.
"""
