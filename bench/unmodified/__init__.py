"""Attention kernels that know nothing of kvspan, on kvspan's memory."""
