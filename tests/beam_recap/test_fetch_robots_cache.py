"""For how long, and for how many origins, a robots.txt is remembered."""

from __future__ import annotations

from beam_recap.fetch.robots import ALLOW_ALL, CACHE_S, DISALLOW_ALL, RobotsCache, RobotsRules, parse_robots


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_cache_remembers_for_a_day_or_as_long_as_it_is_told() -> None:
    clock = Clock()
    cache: RobotsCache[RobotsRules] = RobotsCache(clock=clock)
    cache.put("a", DISALLOW_ALL)
    cache.put("b", DISALLOW_ALL, ttl_s=60)
    assert cache.get("c") is None
    clock.now = 59.0
    assert cache.get("b") is DISALLOW_ALL
    clock.now = 60.0
    assert cache.get("b") is None
    assert len(cache) == 1
    clock.now = CACHE_S - 1
    assert cache.get("a") is DISALLOW_ALL
    clock.now = CACHE_S
    assert cache.get("a") is None
    assert len(cache) == 0


def test_the_cache_forgets_the_least_lately_used() -> None:
    cache: RobotsCache[RobotsRules] = RobotsCache(max_origins=2)
    cache.put("a", ALLOW_ALL)
    cache.put("b", ALLOW_ALL)
    cache.get("a")
    cache.put("c", ALLOW_ALL)
    assert [cache.get(origin) for origin in "abc"] == [ALLOW_ALL, None, ALLOW_ALL]


def test_the_cache_is_bounded_in_bytes_but_keeps_what_was_just_put() -> None:
    rules = parse_robots(b"User-agent: *\n" + b"".join(b"Disallow: /%d\n" % each for each in range(100)), "a")
    assert rules.size > 10_000
    cache: RobotsCache[RobotsRules] = RobotsCache(max_bytes=2 * rules.size)
    for origin in "abc":
        cache.put(origin, rules)
    cache.put("c", rules)  # again, which takes no more room
    assert [cache.get(origin) for origin in "abc"] == [None, rules, rules]
    small: RobotsCache[RobotsRules] = RobotsCache(max_bytes=1)
    small.put("a", rules)
    assert small.get("a") is rules
    small.put("b", rules)
    assert [small.get(origin) for origin in "ab"] == [None, rules]
