"""What the benches in Python share: a private daemon, results in the common form, clocks, traces."""
