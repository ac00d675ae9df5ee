"""Attention of a pass, over whichever memory."""
