"""What a node tells Prometheus: a catalogue of series, readings of them, and their text."""
