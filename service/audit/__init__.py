"""The ledger (감사원장): what happened, by whom, on what evidence; written in the transaction of its effect."""
