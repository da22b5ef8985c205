"""How staff get in: a password, a code from their phone, and a session that ends. Customers have none of this."""
