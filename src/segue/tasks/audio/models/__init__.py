"""Denoisers behind one interface: our own small one and AudioLDM2."""
