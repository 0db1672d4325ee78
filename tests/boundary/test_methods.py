"""Send each method to each path of each service."""

from served import METHODS, Served


async def test_other_method_is_405_and_names_all_methods(served: Served) -> None:
    methods: dict[str, set[str]] = {}
    for each in served.operations:
        methods.setdefault(each.path, set()).add(each.method)
    for each in served.operations:
        known = methods[each.path] | ({"HEAD"} if "GET" in methods[each.path] else set())
        for method in {name.upper() for name in METHODS} | {"HEAD", "OPTIONS"}:
            if method not in known:
                answered = await served.client.request(method, each.url())
                assert answered.status_code == 405, (method, each.path, answered.text)
                assert answered.headers["allow"] == ", ".join(sorted(known)), (method, each.path)


async def test_head_has_the_status_and_headers_of_get(served: Served) -> None:
    for each in served.operations:
        if each.method == "GET":
            query = each.required_query()
            got = await served.client.get(each.url(), params=query)
            head = await served.client.head(each.url(), params=query)
            assert (head.status_code, head.content) == (got.status_code, b""), str(each)
            assert head.headers["content-type"] == got.headers["content-type"], str(each)
            assert head.headers["cache-control"] == "no-store", str(each)
