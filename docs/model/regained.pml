/* regained.pml -- R16 again: which proof does a replica keep that a lost revocation belongs into a database, and for how long?
 * Places: 0 the fleet's database; 1 what a standby has of it that lags; 2 a copy (COPY), somebody else's, with lineages of its own.
 * One key K and one replica, R, which takes another id each time that it joins. The other members are free choices of Env: they found, admit, and
 * count R out, and never help to put K back.
 * Without COPY, claim 1: R lets nothing go that it has heard of K before K is revoked, where the database can prove to be of that history.
 * With COPY, claim 2: K is revoked in the copy only, and never comes into the fleet's database, however R is led to and fro.
 * KEEPS: older proofs are kept beside newer ones, which the code does not do. Without KEEPS those failovers are left out that need an older
 * proof: see OWED. OWEDALL: they are not left out. R is told of K by the database that it is in, or by the announcement there; answers may get lost. */
#ifndef IDS
#define IDS 3                             /* ids that R may take */
#endif
#ifndef LINS
#define LINS 3                            /* lineages that there may be */
#endif
#ifndef FAILS
#define FAILS 2                           /* failovers */
#endif
#define H 4                               /* groups that are held at a time: heldMax */
#define BIT(n) (1<<(n))
#define HAS(set,n) (((set)>>(n))&1)

byte lin[3], former[3]; bit rev[3];       /* clock row; K revoked there */
byte ids[3];                              /* ids of R that the database knows, living or dead */
bit cur[3]; byte rl[3];                   /* the row of R's present id: alive and with a beat that R sent last; its lineage, 0 none */
byte lins=1, tl, fails;                   /* lineages there are; timeline of place 0; failovers there were */
bit told, made, founded2;                 /* K's revocation was committed; there is a copy; it has a lineage of its own */

byte at, id=1; bit member=1;              /* R: where it is led to; its id */
byte ml, hist=1, t; bit kn, past;         /* lineage of its row; of the clock, 0 no renewal yet; timeline; knows K; K lies before what it knows of the log */
byte oth[IDS+1];                          /* lineages that the database had while R was there under this id */
byte n, hl[H+1], hi[H+1]; bit hb[H+1], there[H+1];   /* groups that are held, K in each: lineage; id; was it borne; does the database have it */

/* What is true, for the claims: under which ids and in which lineages R has known K */
bit gk[IDS+1]; byte gb[IDS+1];
byte lastid, lastlin; bit lastk;          /* the id that bore a lineage last, before the present one; that lineage; whether it knew K then */
bit again, byid;

#define LINEAGES(d) ((BIT(lin[d])|BIT(former[d]))&254)
#define ANY(set) ((set)!=0)
#define KNOWN(d,i) (HAS(ids[d],i) && ANY(oth[i]&LINEAGES(d)))
#define KNEW(d,i) (gk[i] && (ANY(gb[i]&LINEAGES(d)) || KNOWN(d,i)))
#if IDS==2
#define KNEWANY(d) (KNEW(d,1) || KNEW(d,2))
#else
#define KNEWANY(d) (KNEW(d,1) || KNEW(d,2) || KNEW(d,3))
#endif
#define BYLINEAGE(g,d) ((BIT(hl[g])&LINEAGES(d))!=0)
#ifdef M_ONLYLINEAGE
#define BYID(g,d) false
#else
#define BYID(g,d) ANY(oth[hi[g]]&LINEAGES(d))
#endif
#define PROOF(g,d) (BYLINEAGE(g,d) || BYID(g,d))
#define ALIVE (cur[at] && (rl[at]==0 || rl[at]==lin[at]))
#define UNTOLD(g) (n>(g) && !there[g])

inline copydb(a, b) { lin[b]=lin[a]; former[b]=former[a]; rev[b]=rev[a]; ids[b]=ids[a]; cur[b]=cur[a]; rl[b]=rl[a] }
inline remove(g) {
  j=g; n--;
  do :: j<n -> hl[j]=hl[j+1]; hi[j]=hi[j+1]; hb[j]=hb[j+1]; there[j]=there[j+1]; j++ :: else -> break od;
  hl[n]=0; hi[n]=0; hb[n]=0; there[n]=0; j=0
}
/* What is known is held; what was held before has to be told again. */
inline hold() {
  if
  :: hist==0 || !kn -> skip
  :: else ->
     i=0; do :: i<n && !(hl[i]==(ml>0 -> ml : hist) && hb[i]==(ml>0) && (ml>0 || hi[i]==id)) -> i++ :: else -> break od;
     if :: i<n -> skip
        :: else -> hl[n]=(ml>0 -> ml : hist); hb[n]=(ml>0); hi[n]=id; n++; if :: n>H -> remove(0) :: else fi fi
  fi;
  i=0; do :: i<H -> there[i]=0; i++ :: else -> break od; i=0
}
inline heard() { kn=1; gk[id]=1; if :: ml>0 -> gb[id]=gb[id]|BIT(ml) :: else fi }

#ifdef M_LETGOEARLY
#define ONLYPROOF(g) false
#else
#ifndef KEEPS
#define ONLYPROOF(g) (hb[g] && ml==0)     /* until R's row bears a lineage again */
#else
#ifdef D_BARE
#define ONLYPROOF(g) hb[g]                /* for good, but not what was heard without a lineage */
#else
#ifdef D_LINEAGE
#define ONLYPROOF(g) (ml==0)
#else
#define ONLYPROOF(g) true
#endif
#endif
#endif
#endif
#define LETGO(g) (there[g] && !ONLYPROOF(g))
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
#if defined(KEEPS) && !defined(D_GIVENUP)
        if :: ml>0 && rl[at]==0 -> hold() :: else fi;
#endif
        hist=lin[at]; oth[id]=oth[id]|LINEAGES(at); ml=rl[at]; if :: at==0 -> t=tl :: else fi;
        if :: rev[at] && !past -> kn=1 :: else fi;
        if :: kn -> heard() :: else fi; if :: ml>0 -> lastid=0; lastlin=0; lastk=0 :: else fi;
        do :: i<n && (LETGO(i) || NOBUSINESS(i)) -> remove(i)
           :: i<n && !(LETGO(i) || NOBUSINESS(i)) -> i++
           :: else -> break od; i=0;
        /* the database is told of one group after the other */
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
        hold(); if :: ml>0 && kn -> lastid=id; lastlin=ml; lastk=1 :: else fi;
        id++; member=0; ml=0; hist=0; kn=0; past=0; cur[0]=0; cur[1]=0; cur[2]=0; rl[0]=0; rl[1]=0; rl[2]=0 }
  od
}

/* Without KEEPS: which failovers must not lose K for good? Those after which the present id proves it; or, while R's row bears no lineage, the id that bore one
 * last; or what is held because the database was not told yet. */
#define PRESENT (kn && ((ml>0 && ANY(BIT(ml)&LINEAGES(1))) || KNOWN(1,id)))
#define LAST (ml==0 && lastk && (ANY(BIT(lastlin)&LINEAGES(1)) || KNOWN(1,lastid)))
#define GROUP(g) (UNTOLD(g) && ((hb[g] && BYLINEAGE(g,1)) || KNOWN(1,hi[g])))
#define OWED (PRESENT || LAST || GROUP(0) || GROUP(1) || GROUP(2) || GROUP(3))

/* No second lineage begins in the fleet's database while R holds something of the time before the first one. */
#define NEAR(g) (n<=(g) || HAS(oth[hi[g]],lin[0]))
#define FOUND(d) lins++; former[d]=lin[d]; lin[d]=lins

proctype Env() {
  do
  :: atomic { !rev[0] -> copydb(0,1) }                                         /* the standby that lags follows, when it does; what matters is that it lacks K */
#ifdef COPY
  :: atomic { fails==0 -> copydb(1,0); fails++; tl++ }
#else
  :: atomic { fails<FAILS && rev[0] -> fails++; tl++ }                         /* another standby takes over, which has everything */
#ifdef KEEPS
  :: atomic { fails<FAILS && (lin[1]==lin[0] || lin[1]==former[0]) -> copydb(1,0); fails++; tl++ }
#else
#ifdef OWEDALL
  :: atomic { fails<FAILS -> copydb(1,0); fails++; tl++ }
#else
  :: atomic { fails<FAILS && (!KNEWANY(1) || OWED) -> copydb(1,0); fails++; tl++ }
#endif
#endif
#endif
  :: atomic { cur[0] -> cur[0]=0; rl[0]=0 }                                    /* R is counted out */
  :: atomic { cur[0] && rl[0]==0 -> rl[0]=lin[0] }                             /* R is admitted */
  :: atomic { lins<LINS && !(cur[0] && rl[0]==lin[0]) && NEAR(0) && NEAR(1) && NEAR(2) && NEAR(3) && (!kn || HAS(oth[id],lin[0])) -> FOUND(0) }
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
  :: atomic { member && hist>0 && at==0 && cur[0] && t==tl && !rev[0] && !kn && !UNTOLD(0) && !UNTOLD(1) && !UNTOLD(2) && !UNTOLD(3) && KNEWANY(0) -> assert(false) }
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
