#!/bin/sh
# Create a role and a database of each name in DATABASES. Repeatable.
set -eu
for name in $DATABASES; do
    psql -qX -v ON_ERROR_STOP=1 -v name="$name" -v password="$PASSWORD" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" LOGIN NOSUPERUSER NOCREATEDB PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE :"name" FROM PUBLIC;
SQL
done
psql -qX -v ON_ERROR_STOP=1 -c 'REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC'
echo "Databases: $DATABASES"
