/* Encodes 16 bit samples from standard input to ADTS on standard output with
 * vo-aacenc, for the tables of docs/performance-aac.md:
 *
 *	voaacenc RATE CHANNELS BITRATE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vo-aacenc/cmnMemory.h>
#include <vo-aacenc/voAAC.h>

static int fail(const char *what)
{
	fprintf(stderr, "voaacenc: %s\n", what);
	return 1;
}

int main(int argc, char **argv)
{
	VO_AUDIO_CODECAPI api;
	VO_HANDLE handle = NULL;
	VO_MEM_OPERATOR memory = { 0 };
	VO_CODEC_INIT_USERDATA user = { 0 };
	AACENC_PARAM param = { 0 };
	short samples[2 * 1024];
	unsigned char frame[8192];

	if (argc != 4)
		return fail("want RATE CHANNELS BITRATE");
	param.sampleRate = atoi(argv[1]);
	param.nChannels = (short)atoi(argv[2]);
	param.bitRate = atoi(argv[3]);
	param.adtsUsed = 1;
	memory.Alloc = cmnMemAlloc;
	memory.Copy = cmnMemCopy;
	memory.Free = cmnMemFree;
	memory.Set = cmnMemSet;
	memory.Check = cmnMemCheck;
	user.memflag = VO_IMF_USERMEMOPERATOR;
	user.memData = &memory;
	if (param.nChannels < 1 || param.nChannels > 2)
		return fail("want 1 or 2 channels");
	if (voGetAACEncAPI(&api) != VO_ERR_NONE || api.Init(&handle, VO_AUDIO_CodingAAC, &user) != VO_ERR_NONE)
		return fail("no encoder");
	if (api.SetParam(handle, VO_PID_AAC_ENCPARAM, &param) != VO_ERR_NONE)
		return fail("parameters refused");
	while (fread(samples, 2 * (size_t)param.nChannels, 1024, stdin) == 1024) {
		VO_CODECBUFFER in = { 0 }, out = { 0 };
		VO_AUDIO_OUTPUTINFO info = { 0 };

		in.Buffer = (unsigned char *)samples;
		in.Length = 2 * 1024 * (VO_U32)param.nChannels;
		api.SetInputData(handle, &in);
		out.Buffer = frame;
		out.Length = sizeof frame;
		if (api.GetOutputData(handle, &out, &info) != VO_ERR_NONE)
			return fail("not encoded");
		fwrite(frame, 1, out.Length, stdout);
	}
	api.Uninit(handle);
	return fflush(stdout) ? fail("not written") : 0;
}
