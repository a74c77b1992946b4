"""Card fraud: a generated stream of card transactions, with labels that come late and fraudsters who change."""
