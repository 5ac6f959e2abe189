"""An imaginary KOSCOM open platform: three brokers, an exchange, and faults on request.

Written from the wire's and the market's facts alone, sharing no code with the client, so that a misreading on either
side shows. Everything about it is invented: people, accounts, instruments, keys.
"""
