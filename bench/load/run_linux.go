package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
)

const refreshMethod = stun.MethodRefresh

// drainTime is how long a run waits for packets that have not come.
const drainTime = 2 * time.Second

// Run makes the clients' allocations, drives the media and measures. It ends
// early when ctx does.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	cpus := o.CPUs
	if len(cpus) == 0 {
		cpus = []int{-1}
	}
	each := o
	each.Rate /= float64(len(cpus))
	each.Window = max(o.Window/len(cpus), o.Burst)
	o.softirqs = softirqThreads()
	var phase atomic.Int32
	shards := make([]*shard, len(cpus))
	defer func() {
		for _, s := range shards {
			if s != nil {
				s.close()
			}
		}
	}()
	base := time.Now()
	for i, cpu := range cpus {
		first, end := i*o.Clients/len(cpus), (i+1)*o.Clients/len(cpus)
		shards[i] = &shard{o: &each, cpu: cpu, base: base, phase: &phase}
		if err := shards[i].setUp(first, end-first); err != nil {
			return Result{}, err
		}
	}
	// Nothing is allocated from here on; a collection would only disturb.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var threads sync.WaitGroup
	for _, s := range shards {
		threads.Go(s.run)
	}
	r, err := measure(ctx, &o, shards, &phase)
	phase.Store(phaseEnd)
	threads.Wait()
	for _, s := range shards {
		err = errors.Join(err, s.err)
	}
	r.sum(shards)
	return r, err
}

// A sample is what is read at both ends of the measured time.
type sample struct {
	at        time.Time
	delivered uint64
	server    time.Duration
	own       time.Duration
	system    time.Duration
	softirq   time.Duration
	threads   map[int]time.Duration
}

func take(o *Options, shards []*shard) (s sample, err error) {
	if o.PID != 0 {
		if s.threads, err = ThreadCPUTimes(o.PID); err != nil {
			return s, err
		}
		if s.server, err = CPUTime(o.PID); err != nil {
			return s, err
		}
	}
	s.own, err = CPUTime(os.Getpid())
	for _, sh := range shards {
		s.delivered += sh.delivered.Load()
	}
	for _, pid := range o.softirqs {
		if t, err := CPUTime(pid); err == nil {
			s.softirq += t
		}
	}
	if err == nil {
		s.system, err = SystemBusy(time.Since(shards[0].base))
	}
	s.at = time.Now()
	return s, err
}

func measure(ctx context.Context, o *Options, shards []*shard, phase *atomic.Int32) (r Result, err error) {
	if err := pause(ctx, o.Warmup); err != nil {
		return r, err
	}
	phase.Store(phaseMeasure)
	begin, err := take(o, shards)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, o.Duration); err != nil {
		return r, err
	}
	end, err := take(o, shards)
	if err != nil {
		return r, err
	}
	phase.Store(phaseDrain)
	r.Seconds = end.at.Sub(begin.at).Seconds()
	r.Relayed = end.delivered - begin.delivered
	r.PerSecond = float64(r.Relayed) / r.Seconds
	r.LoadCPU = (end.own - begin.own).Seconds()
	r.InvolvedCPU = (end.own - begin.own + end.server - begin.server + end.softirq - begin.softirq).Seconds()
	r.SystemCPU = (end.system - begin.system).Seconds()
	if o.PID != 0 {
		r.ServerCPU = (end.server - begin.server).Seconds()
		r.ServerBusy = r.ServerCPU / r.Seconds
		if r.ServerCPU > 0 {
			r.PerCPU = float64(r.Relayed) / r.ServerCPU
		}
		for tid, t := range end.threads {
			if used := (t - begin.threads[tid]).Seconds(); used > 0.01*r.Seconds {
				r.Threads = append(r.Threads, used)
			}
		}
		sort.Float64s(r.Threads)
		if r.RSS, err = RSS(o.PID); err != nil {
			return r, err
		}
	}
	return r, drain(ctx, shards)
}

// drain waits until everything has come, or what is missing is lost.
func drain(ctx context.Context, shards []*shard) error {
	for begin := time.Now(); time.Since(begin) < drainTime; {
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
		missing := slices.IndexFunc(shards, func(s *shard) bool { return !s.drained.Load() })
		if missing < 0 {
			return nil
		}
	}
	return nil
}

// sum adds up what the shards have counted, once they have ended.
func (r *Result) sum(shards []*shard) {
	var latency Histogram
	for _, s := range shards {
		latency.Merge(&s.latency)
		r.Bad += s.bad
		for _, f := range s.flows {
			r.Sent += f.sent
			r.Received += f.received
			r.Reordered += f.reordered
		}
	}
	if r.Sent > 0 {
		r.Loss = 1 - float64(r.Received)/float64(r.Sent)
	}
	micro := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	r.P50, r.P99, r.P999 = micro(latency.Quantile(0.5)), micro(latency.Quantile(0.99)), micro(latency.Quantile(0.999))
	r.Max = micro(time.Duration(latency.max))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("run ended early: %w", context.Cause(ctx))
	}
}
