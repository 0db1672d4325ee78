"""PostgreSQL and Kafka take the files of the dev overlay."""

import re
import subprocess
from pathlib import Path

import asyncpg
from deploy.k8s.facts import facts
from deploy.k8s.files import FOLDER

from crossdock_local.layout import downloads
from crossdock_local.servers import jars

OWNERS = """
SELECT datname, pg_get_userbyid(datdba) AS owner,
       EXISTS (SELECT FROM aclexplode(datacl) WHERE grantee = 0 AND privilege_type = 'CONNECT') AS open_to_all
FROM pg_database WHERE datname = ANY($1)
"""


async def test_postgres_makes_a_closed_database_for_each_service(postgres_admin: str) -> None:
    wanted = [each.package for each in facts()]
    admin = await asyncpg.connect(postgres_admin)
    try:
        for statement in (FOLDER / "components" / "dev-databases" / "databases.sql").read_text().splitlines()[1:]:
            await admin.execute(statement)
        found = await admin.fetch(OWNERS, wanted)
        assert {tuple(row) for row in found} == {(name, name, False) for name in wanted}
    finally:
        for name in wanted:
            await admin.execute(f"DROP DATABASE IF EXISTS {name}")
            await admin.execute(f"DROP ROLE IF EXISTS {name}")
        await admin.close()


def test_kafka_formats_its_storage_by_the_settings(tmp_path: Path) -> None:
    folder = FOLDER / "overlays" / "dev"
    settings = (folder / "server.properties").read_text().replace("/var/lib/kafka", str(tmp_path))
    (tmp_path / "server.properties").write_text(settings)
    (cluster,) = re.findall(r"format --ignore-formatted -t (\S+) -c", (folder / "kafka.yaml").read_text())
    logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
    words = [jars.java(), logging, "-cp", f"{jars.fetch(downloads())}/*", "kafka.tools.StorageTool", "format"]
    words += ["--ignore-formatted", "-t", cluster, "-c", str(tmp_path / "server.properties")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"cluster.id={cluster}" in (tmp_path / "data" / "logs" / "meta.properties").read_text()
