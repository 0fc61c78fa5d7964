"""The parts of `fuzz.py`: its corpus, the damage to it, and what is asked of ingest."""
