"""kvspan, blocks, and the longest length for everybody."""
