"""Products: stock, search, pictures, and the pages that show them."""
