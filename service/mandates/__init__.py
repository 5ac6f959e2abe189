"""Clients and their discretionary contracts (투자일임계약): accounts, managers, limits, linkage to the platform."""
