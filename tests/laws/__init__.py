"""Laws that only the whole can show: in small worlds, or on two real sides."""
