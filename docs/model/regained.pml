/* regained.pml -- R16 again: which proofs does a replica keep that a lost revocation belongs into a database, and for how long?
 * Places: 0 the fleet's database; 1 what a standby has of it that lags; 2 a copy (COPY), somebody else's, with lineages of its own.
 * One key K and one replica, R, which takes another id each time that it joins. The other members are free choices of Env: they found, admit, and
 * count R out, and never help to put K back. R is told of K by the database that it is in, or by the announcement there; answers may get lost.
 * At each change of its history, and when it gives its lineage up, R holds a proof for what it knows, and tells the database of it. A proof is kept when the
 * database has K, and held again at the next change; it is forgotten only where a database that R has to tell proves nothing.
 * Without COPY, claim 1: no failover loses K for good that R has heard of under an id, or in a lineage, that the database proves to be of its history.
 * That is the limit for what R heard after the standby's last commit, in a lineage that the standby does not have (UNPROVEN: it is claimed for that too).
 * Not counted either is what was rightly forgotten, because R was led to a database that proved nothing in between (FORGETFUL: it is).
 * With COPY, claim 2: K is revoked in the copy only, and never comes into the fleet's database, however R is led to and fro (REVERSED: the other way round).
 * While the id of a proof is R's present one, the proof names all lineages that the database has had while R was a member under it, later ones too; and
 * a lineage that R bore under several ids has a proof for each. */
#ifndef IDS
#define IDS 3                             /* ids that R may take */
#endif
#ifndef LINS
#define LINS 3                            /* lineages that there may be */
#endif
#ifndef FAILS
#define FAILS 2                           /* failovers */
#endif
#define H 12                              /* proofs that are held or kept at a time; no more are ever needed here: that is asserted. In the code heldMax */
#ifdef M_MERGEDID
#define FIRSTID (ml>0)                    /* one proof for a lineage that R's row bore, with the id under which it bore it first */
#else
#define FIRSTID false
#endif
#define BIT(n) (1<<(n))
#define HAS(set,n) (((set)>>(n))&1)

byte lin[3], former[3]; bit rev[3];       /* clock row; K revoked there */
byte ids[3];                              /* ids of R that the database knows, living or dead */
bit cur[3]; byte rl[3];                   /* the row of R's present id: alive and with a beat that R sent last; its lineage, 0 none */
byte lins=1, tl, fails;                   /* lineages there are; timeline of place 0; failovers there were */
bit told, made, founded2;                 /* K's revocation was committed; there is a copy; it has a lineage of its own */

byte at, id=1; bit member=1;              /* R: where it is led to; its id */
byte ml, hist=1, t; bit kn, past;         /* lineage of its row; of the clock, 0 no renewal yet; timeline; knows K; K lies before what it knows of the log */
byte oth[IDS+1];                          /* lineages that the database has had while R was there under this id: what a proof of this id names */
/* proofs, for K each: lineage; id; lineages as of when it was made (M_GROWSNOT only); did its row bear the lineage; is it kept, because the database has K */
byte n, hl[H], hi[H], ho[H]; bit hb[H], there[H];

/* What is true, for the claims: under which ids and in which lineages R has known K */
bit gk[IDS+1]; byte gb[IDS+1];
bit again, byid;

#define LINEAGES(d) ((BIT(lin[d])|BIT(former[d]))&254)
#define ANY(set) ((set)!=0)
#define KNOWN(d,i) (HAS(ids[d],i) && ANY(oth[i]&LINEAGES(d)))
#ifdef UNPROVEN
#define KNEW(d,i) gk[i]
#else
#define KNEW(d,i) (gk[i] && (ANY(gb[i]&LINEAGES(d)) || KNOWN(d,i)))
#endif
#if IDS==2
#define KNEWANY(d) (KNEW(d,1) || KNEW(d,2))
#else
#define KNEWANY(d) (KNEW(d,1) || KNEW(d,2) || KNEW(d,3))
#endif
#define BYLINEAGE(g,d) ((BIT(hl[g])&LINEAGES(d))!=0)
#ifdef M_GROWSNOT
#define HO(g) ho[g]                       /* as of when the proof was made */
#else
#define HO(g) oth[hi[g]]
#endif
#ifdef M_ONLYLINEAGE
#define BYID(g,d) false
#else
#define BYID(g,d) ANY(HO(g)&LINEAGES(d))
#endif
#define PROOF(g,d) (BYLINEAGE(g,d) || BYID(g,d))
#define ALIVE (cur[at] && (rl[at]==0 || rl[at]==lin[at]))
#define UNTOLD(g) (n>(g) && !there[g])
#define ANYUNTOLD (UNTOLD(0) || UNTOLD(1) || UNTOLD(2) || UNTOLD(3) || UNTOLD(4) || UNTOLD(5) || UNTOLD(6) || UNTOLD(7) || UNTOLD(8) || UNTOLD(9) || UNTOLD(10) || UNTOLD(11))

inline copydb(a, b) { lin[b]=lin[a]; former[b]=former[a]; rev[b]=rev[a]; ids[b]=ids[a]; cur[b]=cur[a]; rl[b]=rl[a] }
inline remove(g) {
  j=g; n--;
  do :: j<n -> hl[j]=hl[j+1]; hi[j]=hi[j+1]; ho[j]=ho[j+1]; hb[j]=hb[j+1]; there[j]=there[j+1]; j++ :: else -> break od;
  hl[n]=0; hi[n]=0; ho[n]=0; hb[n]=0; there[n]=0; j=0
}
/* What is known is held; what was held before, or kept, has to be told again. */
inline hold() {
  if
  :: hist==0 || !kn -> skip
  :: else ->
     i=0; do :: i<n && !(hl[i]==(ml>0 -> ml : hist) && hb[i]==(ml>0) && (FIRSTID || hi[i]==id)) -> i++ :: else -> break od;
     if :: i<n -> skip
        :: else -> assert(n<H); hl[n]=(ml>0 -> ml : hist); hb[n]=(ml>0); hi[n]=id;
#ifdef M_GROWSNOT
           ho[n]=oth[id];
#endif
           n++ fi
  fi;
  i=0; do :: i<H -> there[i]=0; i++ :: else -> break od; i=0
}
#ifdef COPY
inline heard() { kn=1 }
inline excuse(x) { skip }
#else
inline heard() { kn=1; gk[id]=1; if :: ml>0 -> gb[id]=gb[id]|BIT(ml) :: else fi }
inline excuse(x) { if :: id!=x && gk[x] && !KNEW(at,x) -> gk[x]=0; gb[x]=0 :: else fi }
#endif

/* What the database has is let go */
#ifdef M_LETGOEARLY
#define LETGO(g) there[g]
#else
#ifdef M_LETGOBARE
#define LETGO(g) (there[g] && !hb[g])     /* if it was heard without a lineage */
#else
#ifdef M_LETGOBORNE
#define LETGO(g) (there[g] && ml>0)       /* once R's row bears a lineage */
#else
#define LETGO(g) false                    /* never */
#endif
#endif
#endif
#define NOBUSINESS(g) (!there[g] && !PROOF(g,at))

proctype R() {
  byte i, j, by;
  do
  :: atomic { !member -> member=1; ids[at]=ids[at]|BIT(id); cur[at]=1; rl[at]=0 }
  /* a renewal, answered */
  :: atomic { member && ALIVE ->
        if :: hist>0 && at==0 && t!=tl -> hold(); kn=0; past=rev[at]           /* another timeline, and our beat: the list of changes begins anew */
           :: else fi;
        cur[0]=0; cur[1]=0; cur[2]=0; cur[at]=1; if :: at!=0 -> rl[0]=0 :: else fi; if :: at!=2 -> rl[2]=0 :: else fi; rl[1]=0;
        if :: rl[at]>0 && hist>0 -> rl[at]=0                                   /* no renewal was answered for W */
           :: skip fi;
#ifndef M_GIVENUP
        if :: ml>0 && rl[at]==0 -> hold() :: else fi;
#endif
        hist=lin[at]; oth[id]=oth[id]|LINEAGES(at); ml=rl[at]; if :: at==0 -> t=tl :: else fi;
        if :: rev[at] && !past -> kn=1 :: else fi;
        if :: kn -> heard() :: else fi;
        do :: i<n && LETGO(i) -> remove(i)
           :: i<n && NOBUSINESS(i) -> remove(i);
#ifndef FORGETFUL
              excuse(1); excuse(2);
#if IDS==3
              excuse(3);
#endif
#endif
              skip
           :: i<n && !LETGO(i) && !NOBUSINESS(i) -> i++
           :: else -> break od; i=0;
        /* the database is told of one proof after the other */
        do :: i<n && there[i] -> i++ :: else -> break od;
        if
        :: i<n ->
           if :: BYLINEAGE(i,at) -> by=(hb[i] -> 0 : hi[i]);
#ifdef M_ANYID
                 by=0
#endif
              :: else ->
#ifndef M_OTHERBLIND
                 by=hi[i]
#endif
           fi;
           if :: by==0 || HAS(ids[at],by) ->
                 if :: !rev[at] -> rev[at]=1; past=0; again=1; if :: by>0 -> byid=1 :: else fi :: else fi;
                 if :: there[i]=1 :: skip fi                                   /* the answer, or none */
              :: else -> there[i]=1                                            /* no such id: nothing to do here */
           fi; by=0
        :: skip                                                                /* or it is not, yet */
        fi; i=0 }
  /* a renewal that finds no row, or one that is dead or bears another beat: everything is dropped, and R joins anew */
  :: atomic { member && !ALIVE && id<IDS ->
        hold();
        id++; member=0; ml=0; hist=0; kn=0; past=0; cur[0]=0; cur[1]=0; cur[2]=0; rl[0]=0; rl[1]=0; rl[2]=0 }
  od
}

#define FOUND(d) lins++; former[d]=lin[d]; lin[d]=lins

proctype Env() {
  do
  :: atomic { !rev[0] -> copydb(0,1) }                                         /* the standby that lags follows, when it does; what matters is that it lacks K */
#ifdef COPY
  :: atomic { fails==0 -> copydb(1,0); fails++; tl++ }
#else
  :: atomic { fails<FAILS && rev[0] -> fails++; tl++ }                         /* another standby takes over, which has everything */
  :: atomic { fails<FAILS -> copydb(1,0); fails++; tl++ }                      /* or the one that lags */
#endif
  :: atomic { cur[0] -> cur[0]=0; rl[0]=0 }                                    /* R is counted out */
  :: atomic { cur[0] && rl[0]==0 -> rl[0]=lin[0] }                             /* R is admitted */
  :: atomic { lins<LINS && !(cur[0] && rl[0]==lin[0]) -> FOUND(0) }
#ifdef COPY
  :: atomic { !made -> made=1; copydb(0,2) }
  :: atomic { made && lins<LINS && !(cur[2] && rl[2]==lin[2]) -> FOUND(2); founded2=1 }
  :: atomic { founded2 && cur[2] && rl[2]==0 -> rl[2]=lin[2] }                 /* nobody living bears the lineage that was copied */
  :: atomic { cur[2] -> cur[2]=0; rl[2]=0 }
  :: atomic { made && at==0 && !cur[2] -> at=2 }                               /* led to the copy, where nobody knows its beat */
  :: atomic { at==2 -> at=0 }
#endif
  /* K is revoked; the announcement reaches R at once, or it does not */
#if defined(COPY) && !defined(REVERSED)
  :: atomic { !told && at==2 -> told=1; rev[2]=1; if :: founded2 && member && ml==lin[2] -> heard() :: skip fi }
#else
  :: atomic { !told && at==0 -> told=1; rev[0]=1; if :: member && hist>0 && ml==lin[0] && ml>0 && t==tl -> heard() :: skip fi }
#endif
  od
}

proctype Claims() {
  do
#ifdef COPY
#ifdef REVERSED
  :: atomic { rev[2] && again -> assert(false) }
#else
  :: atomic { rev[0] -> assert(false) }
#endif
#else
  :: atomic { member && hist>0 && at==0 && cur[0] && t==tl && !rev[0] && !kn && !ANYUNTOLD && KNEWANY(0) -> assert(false) }
#endif
#ifdef R_AGAIN
  :: atomic { again -> assert(false) }
#endif
#ifdef R_BYID
  :: atomic { byid -> assert(false) }
#endif
  :: true -> skip                                                              /* the end of all that is modelled is no mistake */
  od
}
init { atomic { lin[0]=1; lin[1]=1; ids[0]=BIT(1); cur[0]=1; oth[1]=BIT(1); run R(); run Env(); run Claims() } }
