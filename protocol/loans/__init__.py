"""Loan mathematics: dates, schedules, APR, allocation, accrual, arrears. Pure integers; no state, account or transaction is known here."""
