//! LMDB: namespaces, transactions, backup, import.
