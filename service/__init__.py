"""일임 (ilim): a discretionary-trading operations service for licensed Korean managers.

An execution happens to an order; it settles on a day; it changes an account, which belongs to a mandate; all is
audited; and what we believe is compared with what the broker says. The folders follow that sentence.
"""
