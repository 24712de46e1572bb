// Package aac encodes and decodes AAC-LC, the audio of RTMP and MP4 (ISO/IEC
// 14496-3, sections named in the code), in plain Go.
//
//	pcm --> window, MDCT --> what the ear allows --> M/S --> scalefactors <--> quantizer --> bits
//	                                                             ^ noise level
//	                                                        rate control <--- bits spent
//
//	bits --> quantized lines --> lines --> M/S, intensity --> TNS --> inverse MDCT, overlap --> pcm
//
// [Codec] is the [media.AudioCodec]. A frame holds 1024 samples a channel.
// Encoders and decoders are pooled: after Close they serve the next call. They
// allocate nothing while they run.
//
// The encoder makes mono and stereo at 16 to 48 kHz. The decoder takes mono
// and stereo at 7.35 to 96 kHz with all tools of the profile, and the lower
// half of the band of HE-AAC.
package aac
