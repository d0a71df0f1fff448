"""Where repositories lie: one port (`base`), its adapters, and decorators over any of them."""
