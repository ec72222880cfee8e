"""Encoders, worker, manager, critic and the decoding of captions."""
