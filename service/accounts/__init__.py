"""Accounts at the brokers: what they hold, what cash can be ordered with, and what the broker last said."""
