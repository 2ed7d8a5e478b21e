"""Signed intents: the envelope, and one module of payloads for each transaction family. Wire shapes only, no rules."""
