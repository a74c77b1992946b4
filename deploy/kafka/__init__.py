"""Apache Kafka in KRaft mode as JVM processes, for tests and for `headrace up --broker kafka`."""
