"""A small serving engine, the same over three managers of KV memory."""
