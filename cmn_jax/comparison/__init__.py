"""Tables, paired tests and exports of runs."""
