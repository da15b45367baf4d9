"""Chest films and reports of patients that do not exist, with exact labels."""
