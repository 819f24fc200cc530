"""scratch profile"""
import cProfile, pstats, time, os, pytest, psycopg
from django.db import connection
from benchmarks import runs
from benchmarks.bench_steps import *

class Timed:
    def __init__(self): self.t={}
    def __call__(self, execute, text, params, many, context):
        words=str(text).replace('"','').split()
        named=next((w for w in words[1:] if w.startswith(("releases_","audit_","environments_"))),"")
        key=f"{words[0]} {named or ' '.join(words[1:2])[:40]}"
        b=time.perf_counter()
        try: return execute(text, params, many, context)
        finally:
            e=self.t.setdefault(key,[0,0.0]); e[0]+=1; e[1]+=time.perf_counter()-b

def bench_probe(world, report, monkeypatch, tmp_path, quiet):
    monkeypatch.setattr(steps,"KINDS",(*steps.KINDS,Nothing()))
    made=runs.release(world)
    run_all(world, runs.plan(5,"bench_nothing",{}),made)
    from django.db.backends.postgresql.base import DatabaseWrapper
    commits=[]
    orig=DatabaseWrapper._commit
    def _commit(self):
        b=time.perf_counter(); orig(self); commits.append(time.perf_counter()-b)
    monkeypatch.setattr(DatabaseWrapper,"_commit",_commit)
    for n in (50,200):
        commits.clear()
        t=Timed()
        import audit.models
        b=time.perf_counter(); c=time.process_time()
        with connection.execute_wrapper(t):
            spread,run,valid=run_all(world,runs.plan(n,"bench_nothing",{}),made)
        total=time.perf_counter()-b; cpu=time.process_time()-c
        print(n,spread,valid,run.state, "wall/step ms",1000*total/n,"cpu/step",1000*cpu/n, "sql", 1000*sum(v[1] for v in t.t.values())/n, "commit", len(commits), 1000*sum(commits)/n)
        for k,(c_,s) in sorted(t.t.items(), key=lambda i:-i[1][1])[:16]: print(f"{c_/n:6.2f} {1000*s/n:8.2f} ms/step {k}")
        print(Event.objects.count())
    pr=cProfile.Profile(); pr.enable()
    run_all(world,runs.plan(50,"bench_nothing",{}),made); pr.disable()
    pstats.Stats(pr).sort_stats("cumulative").print_stats(45)
