"""Executions (체결): reports applied to orders, fills recorded once, and what an order's evidence is."""
