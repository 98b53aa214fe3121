/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.pml - the life of leases as billet keeps it: two daemons on two leases, a janitor that reaps
 * and sweeps, a driver whose create may take effect late, owners that die at any step, expiry at any
 * moment, reuse, and a store that is brought back from an older copy once.
 *
 * Checked: nothing is destroyed under a daemon that works on it; two daemons never work on one
 * resource; a final state stays; at the end nothing is left that no live lease owns.
 *
 * Each of -DM1 ... -DM10 takes one rule away; t/model/check.sh shows that every one of them is missed:
 *   M1 the row is written before the effect        M6  each owner has a fence of its own
 *   M2 resources are swept by their labels         M7  an owner stops before its time is over
 *   M3 ... the provider is listed first            M8  after a restoration older leases are spared
 *   M4 activation is a compare-and-set             M9  a resource tells the fence of its last owner
 *   M5 release is a compare-and-set                M10 ... and a change the owner that it expects
 */
#define LEASES 2
#define DAEMONS 2
#ifndef LIVES
#define LIVES 2 /* daemons that are started in all */
#endif

mtype = { unborn, acquiring, in_use, retained, releasing, ended };

/* The store: one row a lease. Owner: daemon + 1, or 0. */
mtype state[LEASES];
byte fence[LEASES];
byte owner[LEASES];
/* The copy of it that comes back. */
mtype kept_state[LEASES];
byte kept_fence[LEASES];
byte kept_owner[LEASES];
bool copied, restored, noticed;

/* The world. */
bool born[LEASES];         /* ids are made once, whatever store comes back */
bool exists[LEASES];       /* the resource */
bool late[LEASES];         /* a create that was asked for and has not taken effect */
byte label[LEASES];        /* fence of the last owner, as the resource itself tells it */
byte worker[LEASES];       /* daemon + 1 that works on it, or 0 */
bool alive[DAEMONS];
bool expired[LEASES];      /* its time is over; only after its owner stopped its work */
bool final_seen[LEASES];   /* an end was written */
byte lives;                /* daemons that may still be started */
byte running;              /* daemons and what they do, for the last pass */
bool last_pass;
bool busy;                 /* the janitor is in a pass: nobody restores a store then */

#define FENCE_MAX 6

inline check_final(l) {
	assert(!(final_seen[l] && state[l] != ended))
}

/* The resource goes, by whomever: nobody may be at work on it but the one that does it. */
inline destroy(l, by) {
	assert(worker[l] == 0 || worker[l] == by);
	exists[l] = false
}

/* A fence that came back with an older store may be somebody else's by now. */
#ifdef M10
#define OWNER(l, was) true
#else
#define OWNER(l, was) (owner[l] == was)
#endif

/* A compare-and-set; ok says whether it was ours. */
inline change(l, expect, mine, was, to, bump, who) {
	atomic {
		if
		:: state[l] == expect && fence[l] == mine && OWNER(l, was) && !(state[l] == ended) ->
			state[l] = to;
			fence[l] = fence[l] + bump;
			owner[l] = who;
			expired[l] = false;
			if
			:: to == ended -> final_seen[l] = true
			:: else
			fi;
			ok = true
		:: else -> ok = false
		fi;
		check_final(l)
	}
}

/* What a mutant without compare-and-set does. */
inline force(l, to, who) {
	atomic {
		state[l] = to;
		owner[l] = who;
		if
		:: to == ended -> final_seen[l] = true
		:: else
		fi;
		ok = true;
		check_final(l)
	}
}

inline begin_work(l, who) {
	atomic {
		assert(worker[l] == 0);
		assert(exists[l]);
		worker[l] = who
	}
}

inline end_work(l, who) {
	atomic {
		if
		:: worker[l] == who -> worker[l] = 0
		:: else
		fi
	}
}

proctype daemon(byte me) {
	byte l, mine;
	bool ok;
	alive[me] = true;
	if
	:: l = 0
	:: l = 1
	fi;
	if
	/* A new lease: the row first, then the effect. */
	:: atomic { !born[l] && (l == 0 || born[0]) ->
		born[l] = true;
#ifdef M1
		late[l] = true };
		if
		:: skip
		:: goto gone
		fi;
		atomic { state[l] == unborn ->
#endif
		state[l] = acquiring; fence[l] = 1; owner[l] = me + 1; mine = 1 };
#ifndef M1
		late[l] = true; /* asked for; takes effect when the provider likes */
#endif
		if
		:: atomic { !late[l] } /* the answer */
		:: late[l] -> goto gone /* no answer: dead at this step */
		fi;
		if
		:: skip
		:: goto gone
		fi;
#ifdef M4
		force(l, in_use, me + 1);
#else
		change(l, acquiring, mine, me + 1, in_use, 0, me + 1);
#endif
		if
		:: !ok -> goto gone
		:: ok
		fi
	/* One that an earlier run left. */
	:: atomic { state[l] == retained && !expired[l] -> mine = fence[l] };
#ifdef M6
		change(l, retained, mine, 0, in_use, 0, me + 1);
#else
		change(l, retained, mine, 0, in_use, 1, me + 1);
#endif
		if
		:: !ok -> goto gone
		:: ok
		fi;
#ifndef M6
		mine = mine + 1;
#endif
		atomic {
			if
			:: !exists[l] -> goto gone /* the driver says: lost */
#ifndef M9
			/* Somebody has it of whom an older store does not know: the driver refuses.
			 * Without fences of their own, more than this could not be demanded. */
#ifdef M6
			:: exists[l] && label[l] > mine -> goto gone
#else
			:: exists[l] && label[l] >= mine -> goto gone
#endif
#endif
			:: else -> label[l] = mine
			fi
		}
	:: goto gone
	fi;
	/* Work; may die, or be told by a heartbeat that it lost the lease, at any moment. */
	atomic {
		if
		/* Its own clock says whether the time may be over. */
		:: state[l] == in_use && fence[l] == mine && OWNER(l, me + 1) && exists[l] && !expired[l] ->
			begin_work(l, me + 1)
		:: else -> goto gone
		fi
	};
	if
	:: skip
	:: goto gone
	fi;
	if
	:: true -> /* hold it for the next */
		end_work(l, me + 1);
		change(l, in_use, mine, me + 1, retained, 0, 0)
	:: true ->
		end_work(l, me + 1);
#ifdef M5
		force(l, releasing, me + 1);
#else
		change(l, in_use, mine, me + 1, releasing, 0, me + 1);
#endif
		if
		:: !ok -> goto gone
		:: ok
		fi;
		if
		:: skip
		:: goto gone
		fi;
		destroy(l, me + 1);
		if
		:: skip
		:: goto gone
		fi;
#ifdef M5
		force(l, ended, 0)
#else
		change(l, releasing, mine, me + 1, ended, 0, 0)
#endif
	fi;
gone:
	atomic {
		/* A dead process works on nothing; its group is killed with it. */
		end_work(0, me + 1);
		end_work(1, me + 1);
		alive[me] = false;
		running--
	}
}

/* The provider: creates take effect late, or never. */
active proctype provider() {
end:
	do
	:: atomic { late[0] -> late[0] = false; exists[0] = true; label[0] = 1 }
	:: atomic { late[1] -> late[1] = false; exists[1] = true; label[1] = 1 }
	:: last_pass && !late[0] && !late[1] -> break
	od
}

/* Heartbeats fail for long enough: the owner stops first, by its own clock, then the time is over. */
active proctype time() {
end:
	do
	:: atomic { (state[0] == acquiring || state[0] == in_use || state[0] == retained) && !expired[0] ->
#ifndef M7
		worker[0] = 0;
#endif
		expired[0] = true }
	:: atomic { (state[1] == acquiring || state[1] == in_use || state[1] == retained) && !expired[1] ->
#ifndef M7
		worker[1] = 0;
#endif
		expired[1] = true }
	:: last_pass -> break
	od
}

#define dead(l) (owner[l] != 0 && !alive[owner[l] - 1])
#define due(l) (state[l] != unborn && state[l] != ended && \
	(dead(l) || expired[l] || (state[l] == releasing && owner[l] == 0)))

inline reap(l) {
	ok = false;
	atomic {
#ifdef M8
		if
		:: due(l) -> found = state[l]; seen = fence[l]; held = owner[l]; ok = true
#else
		if
		/* Since a restoration nothing older is ended until every owner has learned of it. */
		:: due(l) && !(restored && !noticed) -> found = state[l]; seen = fence[l]; held = owner[l]; ok = true
#endif
		:: else
		fi
	};
	if
	:: ok ->
		change(l, found, seen, held, releasing, 1, 0);
		if
		:: ok ->
			seen = seen + 1;
			destroy(l, 0);
			change(l, releasing, seen, 0, ended, 0, 0)
		:: else
		fi
	:: else
	fi
}

/* Resources by their labels: the provider is listed first, the store is read then. */
inline sweep(l) {
#ifndef M2
#ifdef M3
	atomic { row_final = (state[l] == ended || state[l] == unborn) };
	atomic { there = exists[l] };
#else
	atomic { there = exists[l] };
	atomic { row_final = (state[l] == ended) };
#endif
	if
	:: there && row_final -> destroy(l, 0)
	:: else
	fi
#else
	skip
#endif
}

active proctype janitor() {
	byte seen, held;
	mtype found;
	bool ok, there, row_final;
	byte rounds;
	do
	:: atomic { rounds < 1 && !last_pass -> rounds++; busy = true };
		reap(0); reap(1); sweep(0); sweep(1);
		busy = false
	:: last_pass -> break
	od;
	/* When everybody has gone: one pass, after which nothing is left that no live lease owns. */
	!late[0] && !late[1];
	noticed = true;
	reap(0); reap(1); sweep(0); sweep(1);
	assert(!exists[0] || state[0] == retained || (restored && state[0] == unborn));
	assert(!exists[1] || state[1] == retained || (restored && state[1] == unborn))
}

init {
	atomic {
		state[0] = unborn; state[1] = unborn;
#ifdef KEPT /* an earlier run left one */
		state[0] = retained; fence[0] = 1; born[0] = true; exists[0] = true; label[0] = 1;
#endif
		kept_state[0] = unborn; kept_state[1] = unborn;
		lives = LIVES
	};
	do
	:: atomic { lives > 0 && !alive[0] && running < 2 ->
		lives--; running++; alive[0] = true; run daemon(0) }
	:: atomic { lives > 0 && lives < LIVES && !alive[1] && running < 2 ->
		lives--; running++; alive[1] = true; run daemon(1) }
	:: atomic { !copied ->
		copied = true;
		kept_state[0] = state[0]; kept_fence[0] = fence[0]; kept_owner[0] = owner[0];
		kept_state[1] = state[1]; kept_fence[1] = fence[1]; kept_owner[1] = owner[1] }
	:: atomic { copied && !restored && !busy ->
		restored = true;
		state[0] = kept_state[0]; fence[0] = kept_fence[0]; owner[0] = kept_owner[0];
		state[1] = kept_state[1]; fence[1] = kept_fence[1]; owner[1] = kept_owner[1];
		expired[0] = false; expired[1] = false;
		final_seen[0] = (state[0] == ended); final_seen[1] = (state[1] == ended) }
	:: atomic { restored && !noticed && worker[0] == 0 && worker[1] == 0 -> noticed = true }
	:: lives == 0 && running == 0 -> break
	od;
	last_pass = true
}
