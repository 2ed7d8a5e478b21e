"""Loan mathematics: dates, schedules, APR, allocation, accrual, arrears. Pure; no state, account or transaction."""
