"""Files become catalogue rows, and clips become square grey frames. Identifiers stop here."""
