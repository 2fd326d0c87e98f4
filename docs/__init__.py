"""README's pages, and what makes their pictures."""
