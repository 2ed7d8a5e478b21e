"""Early warning after pay-out: a lender's own node watches its own loans and tells of what it sees."""
