"""The books every node keeps: accounts, pools, products, applications, loans, and the rules that change them."""
