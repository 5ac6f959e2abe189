"""Orders (주문): submit, amend and cancel, one at a time; at most one send per intent."""
