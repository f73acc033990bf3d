"""What people read: tables, figures, and one page that shows them."""
