"""What on this machine would stop a node or do it harm: looked for, told with the fix, never changed."""
